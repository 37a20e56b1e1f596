"""The fault run: the whole pipeline on Apache Kafka, broken again and again, then checked."""
