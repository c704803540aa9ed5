"""Models that were made elsewhere: read without running their code, and scored by their own library to compare with."""
