CREATE EXTERNAL TABLE meterlake.invoices
LOCATION 's3://LAKE/tables/invoices/'
TBLPROPERTIES ('table_type' = 'DELTA');
