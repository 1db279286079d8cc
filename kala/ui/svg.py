"""Pictures as SVG, drawn by the server. Their shapes tell what their colours tell."""
