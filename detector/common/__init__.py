"""What both stages stand on: files, images, schemas, checkpoints, devices, errors."""
