"""What a recording is: the job behind ``stereo inspect``."""
