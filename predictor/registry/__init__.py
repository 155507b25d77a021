"""What MLflow's registry says, and a version's files from wherever it keeps them."""
