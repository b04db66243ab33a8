"""What a user may choose: tables of literals that forms, help, validation and docs are made of."""
