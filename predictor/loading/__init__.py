"""From a version's files to a servable that has proved that it answers: fetched, checked, built, kept."""
