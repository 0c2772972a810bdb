"""What the dashboard needs besides the API: who is signed in, what happens now, and how it was before."""
