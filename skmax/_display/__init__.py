"""Plots that follow scikit-learn's conventions for displays. Matplotlib is imported only where something is drawn."""
