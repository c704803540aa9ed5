"""From a request to a logged answer: decoder, scorer, group commit, reload."""
