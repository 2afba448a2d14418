"""What a person sees, in a real browser: pages as they look and are read aloud, JupyterLab by the keyboard alone."""
