"""What things are: frozen records, standard library and msgspec only."""
