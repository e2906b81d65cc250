"""Laws: plain functions named by what is true, whose argument is the instance that must obey."""
