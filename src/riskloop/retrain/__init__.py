"""From matured outcomes to a challenger's training set: which rows, which weights, tested on what. Pure."""
