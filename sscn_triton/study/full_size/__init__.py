"""`make gpu-study`: the study at full size on a GPU, in pieces that can be resumed."""
