"""`sscn bench`: a training step of the study's network on this machine, compared with other engines."""
