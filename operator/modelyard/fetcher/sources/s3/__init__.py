"""How is a bucket listed and read, with which credentials, and what do its errors mean?"""
