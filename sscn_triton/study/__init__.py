"""The study of 2018, run again: dense against sparse UResNets on liquid-argon images.

training/    one training, from its configuration to scores and predictions
data/        the training data
runs/        one run of a comparison; `sscn report`, the page of a training
analysis/    mistakes, Michel electrons
laptop/      `sscn study`: the comparison at laptop size
scaling/     `sscn scaling`: cost against image size
questions/   open questions, each answered by small trainings
full_size/   the study at full size on a GPU
config       options of `sscn study`
published    numbers of the slides and papers
"""
