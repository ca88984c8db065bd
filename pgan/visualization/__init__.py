"""Pictures of results: panels (arrays), plots (SVG, PNG), and a report (one HTML file)."""
