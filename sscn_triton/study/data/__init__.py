"""The training data: events, crops, augmentation, labels, and the order of images."""
