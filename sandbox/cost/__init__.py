"""What a model costs, measured from the model itself; knows no mixer."""
