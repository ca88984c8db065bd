"""What measures the library's speed, memory and safety. Only tools import it."""
