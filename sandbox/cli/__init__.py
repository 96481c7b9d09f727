"""The commands: the only place that knows the terminal and the layout of the output folders."""
