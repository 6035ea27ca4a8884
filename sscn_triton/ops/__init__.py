"""One room per operation: the registered operator, its engines, its gradients."""
