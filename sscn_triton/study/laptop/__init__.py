"""`sscn study`: the study at laptop size, and its report."""
