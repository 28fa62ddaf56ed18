"""Agent logs and samples as the data sets that trainers read."""
