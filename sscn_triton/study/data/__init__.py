"""What a training learns from: events, crops, augmentation, labels, and the order in which they come."""
