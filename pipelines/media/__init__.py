"""Images, video and depth maps in and out: files become tensors in the project's conventions here, and only here."""
