"""An exam of any model as a world model: `run.examine`, with one function for each section."""
