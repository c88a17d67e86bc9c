"""Small models, one per way of writing a model, each with an oracle of plain framework code."""
