"""The published label sets, one line per class: names, colours, and the class of this project that each becomes."""
