"""What a user calls: commands and Python pipelines over the methods. Only this package sees the others."""

__version__ = "0.1.0"
