"""Teachers: who answers a prompt dialectically. One module a teacher, one protocol."""
