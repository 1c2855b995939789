"""The actions of `cohort admin`, one a module."""
