"""The chapters in JupyterLab: a user's own copies of them, and JupyterLab as it is started here."""
