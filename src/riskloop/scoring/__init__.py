"""The one way from rows and a model to decisions; everything that scores customers calls it."""
