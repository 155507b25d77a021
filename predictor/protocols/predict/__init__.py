"""Our own protocol: records by feature names, one (`/predict`) or several (`/predict/batch`)."""
