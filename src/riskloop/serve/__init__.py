"""From a request to a logged answer: decoder, model, group commit, reload."""
