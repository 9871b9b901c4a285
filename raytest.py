import time, sys, pickle, logging
import ray, numpy as np
n=int(sys.argv[1])
t=time.time()
ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR, log_to_driver=False)
print("init", time.time()-t)
ctx=ray.data.DataContext.get_current()
ctx.execution_options.preserve_order=True
ctx.enable_progress_bars=False
class Load:
    def __init__(self, k): self.k=k
    def __call__(self, row):
        return {"batch": pickle.dumps(np.full(1_000_000, row["id"]%250, np.uint8))}
t=time.time()
ds=ray.data.range(n, override_num_blocks=n).map(Load, fn_constructor_args=(1,), concurrency=2, num_cpus=0.5)
for i,row in enumerate(ds.iter_rows()):
    a=pickle.loads(row["batch"]); assert a[0]==i%250,(i,a[0])
    if i in (0,1,10,100,300,1000,3000): print(i, round(time.time()-t,2), flush=True)
    if i==3000: break
print("done", time.time()-t)
import psutil; print(psutil.Process().memory_info().rss/1e6)
