"""`sscn scaling`: how time and memory grow with the image, dense and sparse."""
