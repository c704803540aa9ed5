"""Documents: what is on record about a model, a case or a period, as one value that is written as HTML, Word or PDF.

Every number is read from the stores, the manifest or the training sample of the artefact. What is not there is said to
be missing; texts by people come from a folder and are marked as theirs.
"""
