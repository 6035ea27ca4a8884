"""What students get wrong: for each chapter, changes to the solutions that its checkers must notice."""
