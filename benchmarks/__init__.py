"""The figures that the README names, each as a ratio measured side by side in one run."""
