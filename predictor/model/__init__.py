"""A model version as it serves: loaded, checked, warmed up; rows in, answers out."""
