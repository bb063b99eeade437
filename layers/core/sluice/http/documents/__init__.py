"""HTTP forms of files and vector stores."""
