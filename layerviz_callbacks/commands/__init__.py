"""The commands of `layerviz`, a module each: `add_to` describes it to the parser, `run` does it."""
