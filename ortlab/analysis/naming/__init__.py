"""The modules of a model, from the names of its nodes and the metadata of exporters."""
