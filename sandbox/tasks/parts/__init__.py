"""What tasks share: bases that own common options, and draws, layouts and scoring that several tasks need."""
