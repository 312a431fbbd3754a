"""The search: what readers type leads to the claim that answers it, among the first three."""

import pytest
from harness import search, specification

# Queries as readers type them, and the claims that answer each: any of them will do.
QUERIES = {
    "view copy": "view-shares-data reshape-does-not-guarantee-a-copy clone-then-view-is-independent",
    "backward gradient argument": "scalar-backward-needs-no-argument backward-argument-is-grad-variables "
    "weighted-backward-differentiates-the-weighted-sum default-weight-is-one-for-scalars "
    "weights-act-as-upstream-gradient",
    "grad can be implicitly created only for scalar outputs": "scalar-backward-needs-no-argument "
    "default-weight-is-one-for-scalars weighted-backward-differentiates-the-weighted-sum",
    "zero_grad why": "gradients-accumulate zero-grad-sets-gradients-to-zero optimizer-zero-grad-equals-net-zero-grad",
    "net.zero_grad optimizer.zero_grad": "optimizer-zero-grad-equals-net-zero-grad",
    "NoneType zero_grad": "zero-grad-sets-gradients-to-zero optimizer-zero-grad-equals-net-zero-grad",
    "leaf cuda": "to-of-a-leaf-is-no-leaf created-tensors-are-leaves",
    "is_leaf": "created-tensors-are-leaves to-of-a-leaf-is-no-leaf",
    "grad is None": "backward-fills-grad zero-grad-sets-gradients-to-zero created-tensors-are-leaves "
    "parameters-carry-data-and-grad to-of-a-leaf-is-no-leaf",
    "integer requires_grad": "requires-grad-can-be-set-in-place requires-grad-defaults-to-false",
    ".data detach": "data-is-outside-the-graph detach-stops-tracking data-writes-are-not-recorded",
    "data vs detach": "data-is-outside-the-graph detach-stops-tracking data-writes-are-not-recorded",
    "leaf Variable in-place operation": "created-tensors-are-leaves requires-grad-can-be-set-in-place "
    "data-writes-are-not-recorded init-runs-without-recording writing-data-sets-parameters-without-grad",
    "除以 batch_size": "step-is-given-the-batch-size sgd-step-subtracts-scaled-mean-gradient",
    "reduction sum learning rate": "step-is-given-the-batch-size mse-loss-is-mean-squared-error "
    "cross-entropy-loss-is-the-mean sgd-step-subtracts-scaled-mean-gradient",
    "last batch smaller": "epoch-loss-weights-batches-by-size "
    "dataloader-yields-minibatches minibatch-is-uniform-random-sample",
    "LinearNet object does not support indexing": "module-is-not-subscriptable brackets-reach-a-layer",
    "target size different input size broadcasting": "mse-loss-is-mean-squared-error broadcasting-matches-shapes",
    "where is softmax": "cross-entropy-works-on-logits softmax-gives-a-distribution",
    "softmax CrossEntropyLoss twice": "cross-entropy-works-on-logits",
    "dropout eval": "functional-dropout-does-not-know-eval dropout-zeroes-with-probability-p",
    "model.train after eval": "dropout-zeroes-with-probability-p "
    "functional-dropout-does-not-know-eval state-dict-round-trips",
    "ModuleList list": "modulelist-acts-like-a-list modulelist-registers-parameters",
    "list of layers not in parameters": "modulelist-registers-parameters parameterlist-is-indexable-and-grows",
    "ModuleDict order": "moduledict-acts-like-a-dict",
    "ParameterDict order": "parameterdict-acts-like-a-dict",
    "共享参数 梯度": "shared-gradients-accumulate reusing-a-layer-shares-its-parameters",
    "Can't get attribute __main__": "whole-model-needs-its-class whole-model-round-trips-with-plain-load",
    "UnpicklingError": "untrusted-pickles-are-refused whole-model-round-trips-with-plain-load",
    "map_location": "saved-model-moves-to-another-device",
    "sqrt(5) default initialization": "default-init-is-sensible",
    "numpy requires grad": "char-tensor-cannot-convert-to-numpy numpy-method-shares-memory",
    "双精度 float64 Double Float": "to-changes-dtype-too",
    "why is my gradient twice as large in the second step?": "gradients-accumulate",
    "为什么梯度会翻倍": "gradients-accumulate",
    "my model does not learn after I call .cuda()": "optimizer-keeps-the-parameters-it-was-given "
    "to-of-a-leaf-is-no-leaf model-moves-with-to",
    "Dataset not found": "torchvision-offers-datasets softmax-regression-learns-fashion-mnist",
    "a leaf Variable that requires grad is being used in an in-place operation": "created-tensors-are-leaves "
    "augmented-assignment-writes-through init-runs-without-recording no-grad-stops-tracking "
    "writing-data-sets-parameters-without-grad",
    "appear in more than one parameter group": "parameter-groups-have-own-learning-rates weights-alone-can-be-decayed "
    "shared-parameter-is-listed-once",
    "cannot be converted to Scalar": "item-gives-a-python-number",
    "cannot pickle 'generator' object": "save-takes-many-kinds-of-objects save-uses-pickle",
    "dropout probability has to be between 0 and 1": "dropout-p-is-a-hyperparameter dropout-keeps-the-expectation",
    "failed finding central directory": "tensor-round-trips state-dict-round-trips model-files-are-named-pt-or-pth",
    "invalid device ordinal": "cuda-index-selects-the-gpu device-name-by-index device-count-counts-gpus "
    "current-device-is-an-index",
    "is invalid for input of size 6": "view-shares-data",
    "linspace": "linspace-divides-evenly",
    "modified by an inplace operation": "in-place-write-spoils-backward",
    "more than one value is ambiguous": "control-flow-needs-item",
    "must match the size of tensor": "broadcasting-matches-shapes",
    "not a leaf Tensor": "backward-fills-grad created-tensors-are-leaves to-of-a-leaf-is-no-leaf",
    "only Tensors of floating point": "requires-grad-can-be-set-in-place requires-grad-defaults-to-false",
    "parameter group that doesn't match the size": "state-dict-round-trips new-optimizer-loses-momentum "
    "state-dict-holds-parameters-only",
    "shapes cannot be multiplied": "sequential-needs-matching-sizes linear-model-is-weighted-sum",
    "singular": "linear-regression-has-closed-form",
    "unexpected keyword argument 'grad_variables'": "backward-argument-is-grad-variables",
    "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!": ""
    "cpu-and-gpu-tensors-do-not-mix model-and-input-must-share-a-device different-gpus-do-not-mix",
    "RuntimeError: mat1 and mat2 shapes cannot be multiplied (32x784 and 256x10)": "sequential-needs-matching-sizes",
    "Trying to backward through the graph a second time": "second-backward-needs-a-retained-graph",
    "数据共享": "view-shares-data numpy-method-shares-memory from-numpy-shares-memory",
    "clone view": "clone-then-view-is-independent",
    "追踪": "requires-grad-tracks-operations no-grad-stops-tracking detach-stops-tracking",
    "有向无环图": "tensors-and-functions-form-a-dag",
    "梯度清零": "gradients-accumulate zero-grad-sets-gradients-to-zero optimizer-zero-grad-equals-net-zero-grad",
    "中断梯度传播": "no-grad-branch-adds-no-gradient no-grad-result-has-no-grad-fn detach-stops-tracking",
    "只差了一个系数": "log-probability-is-logit-up-to-a-factor",
    "模型参数里包含了梯度": "parameters-carry-data-and-grad shared-gradients-accumulate",
    "nvidia-smi": "nvidia-smi-reports-the-card",
    "真正新的副本": "clone-then-view-is-independent",
    "适当复制元素": "broadcasting-matches-shapes broadcasting-copies-elements",
    "叶子节点": "created-tensors-are-leaves",
    "Jacobi": "backward-multiplies-jacobians",
    "雅可比": "backward-multiplies-jacobians",
    "遥远的损失函数": "weights-act-as-upstream-gradient",
    "解析解": "linear-regression-has-closed-form",
    "丢失动量": "new-optimizer-loses-momentum",
    "控制流 item": "control-flow-needs-item",
    "自动被添加到模型的参数列表": "parameter-attributes-register-themselves",
    "梯度是累加的": "gradients-accumulate",
    "打包 模型 Layer": "model-can-serve-as-layer",
    "反序列化": "save-uses-pickle",
    "后缀名": "model-files-are-named-pt-or-pth",
    "不可以直接进行计算": "cpu-and-gpu-tensors-do-not-mix",
    "ValueError: optimizer got an empty parameter list": ""
    "modulelist-registers-parameters layer-with-parameters-uses-parameter "
    "parameter-attributes-register-themselves",
    "RuntimeError: The size of tensor a (3) must match the size of tensor b (4) at non-singleton dimension 1": ""
    "broadcasting-matches-shapes",
    "TypeError: can't convert cuda:0 device type tensor to numpy.": "gpu-tensor-has-no-numpy",
    "how do I freeze some layers": ""
    "training-is-end-to-end parameters-is-a-generator-of-learnables plain-tensor-is-a-constant-parameter",
    "怎么冻结某一层": "training-is-end-to-end parameters-is-a-generator-of-learnables",
    "KeyError: 'attribute 'items' already exists'": "moduledict-acts-like-a-dict parameterdict-acts-like-a-dict",
    "loss is nan after a few steps": "sgd-step-can-lower-the-loss",
    "RuntimeError: expected scalar type Float but found Double": "tensor-function-takes-data to-changes-dtype-too",
    "mat1 and mat2 must have the same dtype, but got Double and Float": ""
    "tensor-function-takes-data to-changes-dtype-too",
    "view size is not compatible with input tensor's size and stride": ""
    "clone-then-view-is-independent view-shares-data reshape-does-not-guarantee-a-copy",
    "CrossEntropyLoss 的输入需要先 softmax 吗": "cross-entropy-works-on-logits",
    "IndexError: Target 10 is out of bounds.": "softmax-outputs-equal-classes cross-entropy-loss-is-the-mean",
    "Adam 优化器占用多少内存": "new-optimizer-is-cheap",
    "how to continue training from a checkpoint": "state-dict-round-trips",
    "为什么验证时结果每次都不一样": "functional-dropout-does-not-know-eval dropout-zeroes-with-probability-p",
    "does the bias get weight decay too": ""
    "weight-decay-decays-bias-by-default penalty-may-include-bias weights-alone-can-be-decayed",
    'RuntimeError: Error(s) in loading state_dict for Net: Missing key(s) in state_dict: "0.weight"': ""
    "state-dict-round-trips depth-and-width-are-hyperparameters",
    "all my hidden neurons have the same weights": ""
    "equal-units-stay-equal equal-units-act-as-one equal-units-compute-equal-values",
    "张量怎么变成 Python 的数": "item-gives-a-python-number",
    "nn.Module.__init__() got an unexpected keyword argument 'params'": "module-constructor-takes-other-arguments",
    "CUDA error: invalid device ordinal": "cuda-index-selects-the-gpu device-count-counts-gpus",
    "AttributeError: cannot assign module before Module.__init__() call": "super-init-comes-first",
    "为什么要用 torch.no_grad()": "no-grad-stops-tracking no-grad-result-has-no-grad-fn",
    "RuntimeError: Boolean value of Tensor with more than one value is ambiguous": "control-flow-needs-item",
    "what is retain_graph=True for": "second-backward-needs-a-retained-graph",
    "如何只对权重做衰减": "weights-alone-can-be-decayed",
    "为什么 reshape 之后修改会影响原来的张量": "reshape-does-not-guarantee-a-copy view-shares-data",
    "RuntimeError: element 0 of tensors does not require grad and does not have a grad_fn": ""
    "grad-fn-is-the-creating-function no-grad-result-has-no-grad-fn",
    "what does unsqueeze(-1) do": "unsqueeze-inserts-a-dimension unsqueeze-makes-a-batch-of-one",
    "怎么打印网络结构": "printing-shows-the-structure",
    "学习率怎么在训练中调整": "learning-rate-can-be-edited-in-place building-a-new-optimizer-is-the-recommended-way",
    "how many points does linspace give": "linspace-divides-evenly",
    "为什么要随机初始化参数": "random-init-breaks-symmetry",
    "RuntimeError: Expected 3D (unbatched) or 4D (batched) input to conv2d": "nn-only-takes-batches",
    "torch.load weights_only=True fails for my model": "whole-model-round-trips-with-plain-load",
    "怎样保存模型": "state-dict-round-trips whole-model-round-trips-with-plain-load state-dict-holds-parameters-only",
    "RuntimeError: CUDA error: out of memory": "nvidia-smi-reports-the-card",
    "vanishing gradients with sigmoid": "deep-gradients-vanish-or-explode",
    "grad_fn=<ThAddBackward>": "sum-node-is-named-th-add-backward",
    "如何查看张量在哪块 GPU 上": "device-attribute-tells-where",
    "什么是叶子张量": "created-tensors-are-leaves",
    "tuple object has no attribute zero_": "zero-grad-sets-gradients-to-zero gradients-accumulate",
    "ModuleList 和普通列表有什么不同": "modulelist-acts-like-a-list modulelist-registers-parameters",
    "embedding weights tied with output layer": ""
    "same-instance-in-sequential-shares shared-parameter-is-listed-once assign-unties-shared-parameters "
    "shared-gradients-accumulate calling-a-layer-twice-shares",
    "is training on gpu deterministic compared to cpu": "training-runs-on-gpu gpu-outruns-cpu-on-large-work",
    "does tensor.view() copy the memory": "view-shares-data",
    "difference between detach() and .data": ""
    "data-writes-are-not-recorded data-is-outside-the-graph detach-stops-tracking",
    "best way to save a trained model in pytorch": "state-dict-holds-parameters-only state-dict-round-trips",
    "is torch.load safe? can a checkpoint contain malware": "untrusted-pickles-are-refused save-uses-pickle",
    "loss.backward() but weights dont update": ""
    "step-updates-parameters optimizer-keeps-the-parameters-it-was-given backward-fills-grad",
    "should I use .pt or .pth file extension": "model-files-are-named-pt-or-pth",
    "should i call model.cuda() before or after creating the optimizer": "optimizer-keeps-the-parameters-it-was-given",
    "pytorch dropout active during evaluation": ""
    "dropout-zeroes-with-probability-p functional-dropout-does-not-know-eval",
    "为啥每次都要optimizer.zero_grad()": "gradients-accumulate zero-grad-sets-gradients-to-zero",
    "backward里面为什么要传一个和输出同形状的张量": ""
    "weighted-backward-differentiates-the-weighted-sum weights-act-as-upstream-gradient "
    "scalar-backward-needs-no-argument",
    "测试的时候dropout还会起作用吗": "dropout-zeroes-with-probability-p functional-dropout-does-not-know-eval",
    "Sequential和ModuleList怎么选": "modulelist-has-no-forward sequential-chains-its-modules",
    "一个张量在cpu一个在gpu能相加吗": "cpu-and-gpu-tensors-do-not-mix",
    "多块显卡怎么指定用第二块": "cuda-index-selects-the-gpu cuda-without-index-is-gpu-zero current-device-is-an-index",
    "squeeze和unsqeeze用法": ""
    "unsqueeze-inserts-a-dimension squeeze-removes-unit-dimensions squeeze-one-dimension "
    "unsqueeze-makes-a-batch-of-one",
    "loss不下降在震荡 换了优化器之后": "new-optimizer-loses-momentum building-a-new-optimizer-is-the-recommended-way",
    "ValueError: expected sequence of length 3 at dim 1 (got 2)": "tensor-function-takes-data",
    "TypeError: 'Net' object is not subscriptable": "module-is-not-subscriptable",
    'NotImplementedError: Module [Net] is missing the required "forward" function': ""
    "subclassing-module-defines-a-model module-has-layers-and-forward",
    "TypeError: can't convert mps:0 device type tensor to numpy. Use Tensor.cpu() to copy": "gpu-tensor-has-no-numpy",
    "MSELoss half": "squared-loss-is-half-squared-error",
    "set_to_none": "zero-grad-sets-gradients-to-zero",
    "a = a.cuda() then a.grad prints None why": "to-of-a-leaf-is-no-leaf",
    "does deepcopy of state_dict matter for early stopping": "state-dict-is-no-copy",
    "pytorch says AttributeError ResNet when i open my .pt in another script": "whole-model-needs-its-class",
    "optimizer steps but loss never moves, layers kept in a list": "modulelist-registers-parameters",
    "train discriminator without updating the generator (detach?)": "detach-stops-tracking training-is-end-to-end",
    "nvidia-smi shows memory but torch cuda not availble": "is-available-tells-of-a-gpu nvidia-smi-reports-the-card",
    "eval()之后效果反而变差": "dropout-zeroes-with-probability-p",
    "调用net(x)其实执行的是哪个函数": "subclassing-module-defines-a-model module-has-layers-and-forward",
    "sgd加了momentum重新建优化器会丢吗": "new-optimizer-loses-momentum",
    "别人给的pth文件能随便load吗": "untrusted-pickles-are-refused",
    "L2惩罚项要不要包含bias": "penalty-may-include-bias weight-decay-decays-bias-by-default",
    "ModuleNotFoundError: No module named 'losses'": "whole-model-needs-its-class",
    "RuntimeError: Found dtype Double but expected Float": "to-changes-dtype-too tensor-function-takes-data",
    "AttributeError: 'NoneType' object has no attribute 'zero_'": ""
    "zero-grad-sets-gradients-to-zero backward-fills-grad",
    "TypeError: forward() takes 2 positional arguments but 3 were given": ""
    "subclassing-is-more-flexible subclassing-module-defines-a-model",
    "RuntimeError: unexpected EOF, expected 609814 more bytes. The file might be corrupted.": ""
    "tensor-round-trips state-dict-round-trips model-files-are-named-pt-or-pth save-uses-pickle",
    "叶子 非叶子": "created-tensors-are-leaves backward-fills-grad",
    "frozen parameters": ""
    "training-is-end-to-end parameters-is-a-generator-of-learnables requires-grad-can-be-set-in-place",
}
# Queries about anything else
ELSEWHERE = (
    "how do I bake bread",
    "今天天气怎么样",
    "git rebase conflict",
    "max pooling layer",
    "export model to onnx",
    "强化学习 策略梯度",
    "java.lang.NullPointerException at Main.main(Main.java:5)",
    "RuntimeError: foo",
)
TRACEBACK = """Traceback (most recent call last):
  File "/home/me/train.py", line 41, in <module>
    loss.backward()
  File "/usr/lib/python3/site-packages/torch/_tensor.py", line 648, in backward
    torch.autograd.backward(
RuntimeError: one of the variables needed for gradient computation has been modified by an inplace operation: \
[torch.FloatTensor [3, 4]], which is output 0 of AddBackward0, is at version 2; expected version 1 instead.
"""


@pytest.fixture(scope="module")
def index(request):
    return search.index(specification.of(request.config))


def test_the_claims_that_answer_are_in_the_register(index):
    assert {id for ids in QUERIES.values() for id in ids.split()} <= set(index.weights)


def first_three(index, query):
    return [id for id, _ in index.ranked(query)[:3]]


@pytest.mark.parametrize("query", QUERIES)
def test_the_right_claim_is_among_the_first_three(index, query):
    assert set(first_three(index, query)) & set(QUERIES[query].split())


def test_a_whole_traceback_finds_its_claim(index):
    assert "in-place-write-spoils-backward" in first_three(index, TRACEBACK)


def test_the_values_in_a_message_do_not_matter(index):
    one, other = (
        f"shape '[{shape}]' is invalid for input of size {size}" for shape, size in [("2, 3", 7), ("4", 1024)]
    )
    assert index.ranked(one) == index.ranked(other)


@pytest.mark.parametrize("query", ELSEWHERE)
def test_what_is_about_anything_else_fits_no_claim(index, query):
    assert not any(search.answers(fit, query) for _, fit in index.ranked(query))


def test_a_misprint_finds_what_the_word_finds(index):
    assert first_three(index, "lienar regresion solution") == first_three(index, "linear regression solution")


@pytest.mark.parametrize("forms", ["save saves saving", "drop dropped dropping", "initialize initialising"])
def test_the_forms_of_a_word_share_a_stem(forms):
    assert len({search.stem(form) for form in forms.split()}) == 1
