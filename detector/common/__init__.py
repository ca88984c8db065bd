"""Modules that both stages share: files, locks, images, schemas, checkpoints, devices and errors."""
