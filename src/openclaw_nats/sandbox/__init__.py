"""Work on what others wrote, in processes of its own with limits of time and memory."""
