# Loaded at the first <TAB> after "adrt"; asks the adrt that is on the PATH, so
# that its words are those of the version that will run.
eval "$(adrt completions bash)"
