"""What the dashboard needs beside the API: who is signed in, what happens now, and how it was before."""
