# Asks the adrt that is on the PATH, so that its words are those of the version
# that will run.
adrt completions fish | source
